"""From responses and verdicts to a scorecard, and from that to a decision: arithmetic, no model, no judge."""
