"""What the command `bundle` is made of: machines, their wheels, sums, and the page that says how to install."""
