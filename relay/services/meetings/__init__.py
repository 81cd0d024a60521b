"""Internal meetings: the operator's own recordings, from the upload to a text with the right names. No credits."""
