"""The demo: real credit data, nine registered versions, and the services to look at them.

``data`` splits the customers, ``features`` and ``models`` train what ``register`` puts into a
real MLflow registry, ``services`` runs the user interfaces, ``run`` is the whole of it. Nothing
outside of this folder knows the demo.
"""
