"""What `/relay/openapi.json` says: every route in plain data, a file per area, put together in `document.py`."""
