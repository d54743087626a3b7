"""The engines by name; packages add theirs as entry points of the group "hashlake.engines".

Each is an ``engine.OpenEngine``: ``ENGINES.get("exact")(folder)``.
"""

from contract.registry import BuiltIn, Registry

ENGINES = Registry("engine", "hashlake.engines", {"exact": BuiltIn("searcher.engines.exact:ExactEngine")})
