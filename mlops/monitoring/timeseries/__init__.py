"""Series in time: what is to be expected of the next value, and where a level changed."""
