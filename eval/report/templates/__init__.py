"""The templates of the pages, the report and the cards, and the environment in which they are rendered."""
