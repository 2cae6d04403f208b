"""Values ⇄ bytes, one format in each module; `registry` has them by name, by dialect and by id. Knows no descriptors."""
