"""Reading calls out of what models write, and saying no where it would be guessing. (pure)"""
