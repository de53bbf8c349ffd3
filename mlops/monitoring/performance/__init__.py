"""How good a model is: with labels, before them, for whom, and why it changed. NumPy only; arrays in,
findings out. What has no labels and what no labels can tell is said in the sentence of the finding."""
