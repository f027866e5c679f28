"""What the domain asks of the world, done by what there is: MLflow, databases, S3, HTTP, mail.

An adapter implements a protocol that stands beside its consumer. ``scoring_worker`` and
``shadow_worker`` load models that nobody trusts, ``copy_worker`` speaks to another registry: each
is a process of its own.
"""
