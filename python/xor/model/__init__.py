"""Types, schemas, members, disclosures: the nouns that every layer shares. Pure values."""
