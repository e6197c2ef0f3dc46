"""The course's four widgets, a file each: what is computed, how it is drawn, and the controls of `explore` below it."""
