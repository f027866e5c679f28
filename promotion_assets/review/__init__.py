"""Human review: a careless approval is hard here, and a careful one quick.

A version in Staging whose evidence is complete gets a *request* (:mod:`.requests`), assigned by
rotation. A reviewer signs in (:mod:`.identity`, :mod:`.access`), opens the request and so sees a
*view* (:mod:`.view`), frozen under its digest; the server notes when it was first opened and which
*slices* (:mod:`.slices`) were. A *ballot* answers the *questionnaire* (:mod:`.questionnaire`) and
is held against the *case* (:mod:`.case`) by one pure function, :func:`.rules.judge`, whatever
surface it came through: page, command line, Slack or Dagster. What it lets through is an entry in
the ledger signed over exactly the evidence that was shown.
"""
