"""What every folder may use: arrays of any library, random streams, threads, checks, atomic files."""
