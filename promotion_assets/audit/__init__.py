"""The record that convinces somebody who was not there.

**entries** turns an event into a signed attestation, chained to the one before; **ledger** is
what a store has to keep of it; **merkle** and **checkpoint** say how far the ledger had come, to
places outside of it; **verify** finds what was changed, with only a public key; **bundle** takes
one version's evidence elsewhere; **status** and **explain** answer people.
"""
