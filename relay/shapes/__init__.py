"""The request and answer shapes that many inference servers share, so that plugins need not import each other."""
