package console

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"consentgate/console/access"
)

type nobody struct{}

func (nobody) Authenticate(*http.Request) (access.Principal, error) {
	return access.Principal{}, access.ErrNobody
}

func allRoutes() Routes {
	out := Routes{}
	for pattern := range access.Table {
		out[pattern] = http.NotFoundHandler()
	}
	return out
}

func config(listen string, routes Routes) Config {
	return Config{Listen: listen, Who: nobody{}, API: Part{Routes: routes, Deny: func(w http.ResponseWriter, _ *http.Request, status int) { w.WriteHeader(status) }}}
}

// TestARouteIsServedAndInTheTableOrNothingIs.
func TestARouteIsServedAndInTheTableOrNothingIs(t *testing.T) {
	s, err := New(config("127.0.0.1:0", allRoutes()))
	if err != nil {
		t.Fatal("control:", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	less := allRoutes()
	delete(less, "GET /api/v1/audit")
	more := allRoutes()
	more["GET /api/v1/secrets"] = http.NotFoundHandler()
	for want, routes := range map[string]Routes{`nothing serves route "GET /api/v1/audit"`: less, `route "GET /api/v1/secrets" isn't in the table`: more} {
		if _, err := New(config("127.0.0.1:0", routes)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	twice := config("127.0.0.1:0", allRoutes())
	twice.Page.Routes = Routes{"GET /api/v1/audit": http.NotFoundHandler()}
	if _, err := New(twice); err == nil || !strings.Contains(err.Error(), "is there twice") {
		t.Errorf("%v", err)
	}
}

// TestNothingIsServedInTheClearOffLoopback.
func TestNothingIsServedInTheClearOffLoopback(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
		if _, err := New(config(listen, allRoutes())); !errors.Is(err, ErrPlain) {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

// TestAPanicOfAHandlerIsAnAnswer, and doesn't end the program.
func TestAPanicOfAHandlerIsAnAnswer(t *testing.T) {
	routes := allRoutes()
	routes["GET /api/v1/openapi.json"] = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault") })
	s, err := New(config("127.0.0.1:0", routes))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer func() {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for range 2 {
		res, err := http.Get(s.URL() + "/api/v1/openapi.json")
		if err != nil || res.StatusCode != http.StatusInternalServerError || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Fatal(res, err)
		}
		res.Body.Close()
	}
}
