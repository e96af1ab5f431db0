"""Tables of any kind <-> rows of numbers: frames, kinds of columns, scalings, canonical rows, statistics."""
