"""One module per kind of tag: where a genre stands in it, how it is put there and how it is taken back."""
