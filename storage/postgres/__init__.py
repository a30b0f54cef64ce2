"""The storage of many nodes: PostgreSQL 14 or newer through asyncpg, a pool of connections per process."""
