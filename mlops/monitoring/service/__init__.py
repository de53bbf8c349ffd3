"""The monitor process: reads what is new, keeps blocks, compares, tells the book of alerts, serves HTTP."""
