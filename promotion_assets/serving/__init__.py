"""Serving: which version answers which request, and what is written down of it.

The **traffic plan** pins versions by number and digest; the **router** says which arm of it a
unit gets; **events** are what a server writes down: requests, shadows, exposures, outcomes.
Everything here is usable in a service of one's own, without our server.
"""
