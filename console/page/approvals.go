package page

import "consentgate/console/office"

func getApprovals(v *visit) error {
	var b approvalsBody
	for _, a := range v.o.Approvals(v.who) {
		row := pending{ID: a.ID, Act: a.Act, By: a.By, Reason: a.Reason, State: a.State, Second: a.Second, To: a.To, Form: a.Form, At: a.Asked, Own: a.By == v.who.Name,
			Open: a.State == office.Pending}
		if row.Own && a.State == office.Approved {
			row.State = "yours"
		}
		switch a.Act {
		case office.ActErase, office.ActExport:
			row.Link = "/recordings/" + a.Object
		default:
			row.Link = "/requests/" + a.Object
		}
		b.Pending = append(b.Pending, row)
	}
	return v.show("approvals", "approvals", v.t("approvals.title"), b)
}

// decide is the handler of a second officer's yes or no.
func decide(yes bool) func(*visit) error {
	return func(v *visit) error {
		by, notice := v.o.Reject, "approvals.done.refused"
		if yes {
			by, notice = v.o.Approve, "approvals.done"
		}
		if _, err := by(v.r.Context(), v.who, v.id(), v.form("reason")); err != nil {
			return err
		}
		return v.done("/approvals", notice)
	}
}
