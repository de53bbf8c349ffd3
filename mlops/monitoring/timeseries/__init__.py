"""Series of one value over time: what is to be expected and when the level changed."""
