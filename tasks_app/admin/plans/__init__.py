"""Collection plans: their list, their pages and what may be done with them."""
