"""All the SQL of the house: the database, its tables, and one module of queries for each family of rows."""
