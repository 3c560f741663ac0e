# What the gate may do: its own keys, nothing else. Encrypting is "update" and
# not "create": with that the engine would make a key by itself.
path "transit/keys" {
  capabilities = ["list"]
}
path "transit/keys/consentgate-*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "transit/encrypt/consentgate-*" {
  capabilities = ["update"]
}
path "transit/decrypt/consentgate-*" {
  capabilities = ["update"]
}
