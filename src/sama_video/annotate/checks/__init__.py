"""The rules that texts of a model are held against."""
