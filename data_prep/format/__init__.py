"""Stage `format`: the splits as token ids in chat form."""
