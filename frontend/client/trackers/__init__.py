"""Files of other trackers. Each module imports one tracker's package, and has one function: `open_folder(folder)` is a
context, and gives the function that writes a record. The files are complete when the context ends."""
