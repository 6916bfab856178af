"""`python -m siamese_search` is `simsearch`."""

from siamese_search.cli.app import main

main()
