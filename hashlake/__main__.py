"""``python -m hashlake``: the same commands, where the console script isn't on the path."""

from hashlake.main import main

main()
