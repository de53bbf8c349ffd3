"""The monitor process: keeps blocks of what is new, compares, tells the book of alerts, serves HTTP."""
