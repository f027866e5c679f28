"""Evaluation datasets larger than memory: kept, scored and counted shard by shard.

In the order of the data:

- :mod:`digest`: the digest that names the rows, the same as for rows in memory;
- :mod:`intake`: rows into the store, described while they pass;
- :mod:`shards`: the stretches of rows that are worked on together;
- :mod:`engine`: who works on them, and :mod:`local`, the one that is always here;
- :mod:`scoring`: features of a shard in, answers out, from a sandbox;
- :mod:`score_file`: the answers of all shards, kept in the dataset's order;
- :mod:`counting`: what one shard says of labels, groups and answers;
- :mod:`tally`: what all shards say together, which is all that gates read.

A *shard* is a stretch of rows, a *part* what was found in one shard. Parts are merged in the order
of the shards, whoever worked on them and whenever they were done, so that two engines give the
same digits.
"""
