"""Parts of sections: each file has what one section shows inside another, or what several of them show alike."""
