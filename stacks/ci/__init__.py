"""CI of a project: the files that run Modelyard on a platform, their pins, and the comment they leave."""
