"""From clips and masklets to checked, published dialogues: stages with a ledger, a language model, and checks."""
