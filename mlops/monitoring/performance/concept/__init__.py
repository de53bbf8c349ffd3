"""Changes of the concept: detectors on the stream of a model's errors, in the order in which labels come."""
