package api

// Document is openapi.json.
func (a *API) Document() []byte { return a.document }
