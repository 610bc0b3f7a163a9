"""Pages: reports for people, each one HTML document without scripts and without a reference to anything outside it."""
