"""What is told to the outside and heard from it.

Words: an *outgoing event* is what the platform tells of one ledger entry; a *subscription* says
who is told of which; a *delivery* is one outgoing event on its way to one subscription: pending,
delivered, or a dead letter after too many attempts. The outgoing events of an entry are written
in the entry's own transaction (:mod:`.outgoing`), shared out to subscriptions and sent
afterwards (:mod:`.dispatch`), so that a receiver can neither delay a transition nor lose one.
"""
