"""The twin's body: one model of the patient after the infusion, and what a ward would measure. Not for clinical use.

``twin.TwinBody`` is the model; its blocks are read one by one, beginning with ``states``. ``diseases`` has default
patients, ``variability`` draws many, ``treatment`` gives doses, ``signs`` measures, ``limits`` leads to the papers.
"""
