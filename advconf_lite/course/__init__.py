"""What the lessons call: start, probing, tables, timings, the index, and the check of a machine."""
