"""``python -m hashlake``: the same commands, if the console script isn't on the path."""

from hashlake.main import main

main()
