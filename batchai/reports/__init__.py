"""Stored rows → one report value → text or JSON."""
