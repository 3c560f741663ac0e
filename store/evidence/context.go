package evidence

// node is a JSON-LD node. encoding/json writes its members in the order of their
// names.
type node = map[string]any

const (
	dpv    = "https://w3id.org/dpv#"
	schema = "https://w3id.org/dpv/schema/dpv-27560#"
	// own is for what DPV has no term for; docs/evidence.md says what each means.
	own = "urn:consentgate:evidence#"
)

var (
	asID   = node{"@type": "@id"}
	asTime = node{"@type": "xsd:dateTime"}
	asSpan = node{"@type": "xsd:duration"}
)

// ldContext goes into every receipt: nobody has to fetch anything to read one
// (JSON-LD 1.1 section 3.1). Its prefixes are those of the DPV guide's section 3.
var ldContext = node{
	"dpv":       dpv,
	"pd":        "https://w3id.org/dpv/pd#",
	"loc":       "https://w3id.org/dpv/loc#",
	"eu-gdpr":   "https://w3id.org/dpv/legal/eu/gdpr#",
	"dpv-27560": schema,
	"dct":       "http://purl.org/dc/terms/",
	"schema":    "https://schema.org/",
	"rdf":       "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
	"xsd":       "http://www.w3.org/2001/XMLSchema#",
	"cg":        own,

	"dct:conformsTo":        asID,
	"dct:publisher":         asID,
	"dct:created":           asTime,
	"dct:date":              asTime,
	"schema:recipient":      asID,
	"schema:duration":       asSpan,
	"dpv:hasDataController": asID,
	"dpv:hasDataSource":     asID,
	"dpv:hasJurisdiction":   asID,
	"dpv:hasLegalBasis":     asID,
	"dpv:hasLocation":       asID,
	"dpv:hasPersonalData":   asID,
	"dpv:hasProcessing":     asID,
	"dpv:hasNotice":         asID,
	"dpv:isIndicatedBy":     asID,
	"dpv:isIndicatedAtTime": asTime,
	"cg:pressedAt":          asTime,
}
