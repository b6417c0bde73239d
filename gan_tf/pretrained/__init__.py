"""Frozen files of others: fetched once, checked, cached."""
