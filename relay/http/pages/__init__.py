"""The pages for people: `/` and `/dashboard`."""
