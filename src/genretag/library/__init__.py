"""A library looked at: its tracks, its genres, what can be learnt from it; no music file is changed here."""
