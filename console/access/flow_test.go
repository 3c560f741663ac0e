package access

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"consentgate/console/access/oidc"
)

// TestALoginAtAProviderMayTakeTenMinutes, and what is sealed is for this process alone.
func TestALoginAtAProviderMayTakeTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlows(true)
		w := httptest.NewRecorder()
		if err := f.set(w, flow{oidc.Flow{State: "s"}, "/", time.Now().Add(flowTime)}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(w.Result().Cookies()[0])
		time.Sleep(flowTime - time.Second)
		if x, ok := f.take(httptest.NewRecorder(), r); !ok || x.State != "s" {
			t.Error("it is over before")
		}
		if _, ok := newFlows(true).take(httptest.NewRecorder(), r); ok {
			t.Error("another process takes it")
		}
		time.Sleep(time.Second)
		if _, ok := f.take(httptest.NewRecorder(), r); ok {
			t.Error("it goes on")
		}
	})
}
