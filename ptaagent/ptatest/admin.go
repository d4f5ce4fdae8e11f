package ptatest

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/beevik/etree"
)

// Enabled reports whether the tenant's switch is on (4).
func (c *Cloud) Enabled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.enabled
}

// enable plays the tenant switch (4).
func (c *Cloud) enable(w http.ResponseWriter, r *http.Request) {
	const part = "tenant switch"
	root, err := c.readBody(part, w, r)
	if err != nil {
		return
	}
	var token, on string
	err = root.as(nsEnable, "PassthroughAuthenticationEnablementRequest", child{nsAadSecurity, "AuthenticationToken", false, like(filledForm, &token)},
		child{nsEnable, "Enable", false, like(boolForm, &on)}, child{nsEnable, "SkipExoEnablement", false, like(boolForm, nil)},
		child{nsEnable, "UserAgent", false, func(e *etree.Element) error {
			return like(filledForm, nil)(e)
		}})
	if err != nil {
		err = c.diary.refuse(part, "%v (4)", err)
	} else {
		err = c.allowed(part, token)
	}
	agents := c.Agents()
	if err == nil && on == "true" {
		active := false
		for _, a := range agents {
			active = active || a.Active
		}
		if !active {
			err = c.diary.refuse(part, "no active agent (4)")
		}
	}
	message := ""
	if err != nil {
		message = err.Error()
	} else {
		c.mu.Lock()
		c.enabled = on == "true"
		c.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	_, _ = fmt.Fprintf(w, `<PassthroughAuthenticationRequestResult xmlns="%s" xmlns:i="%s"><Enable>%t</Enable><ErrorMessage>%s</ErrorMessage><Exists>%t</Exists><IsSuccessful>%t</IsSuccessful></PassthroughAuthenticationRequestResult>`,
		nsEnable, nsInstance, c.Enabled(), escape(message), len(agents) > 0, err == nil)
}

// inventory plays the two lists of agents (4).
func (c *Cloud) inventory(w http.ResponseWriter, r *http.Request, gateway bool) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_ = c.diary.refuse("inventory", "no bearer token (4)")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	allowed := c.allowed
	if !gateway {
		allowed = c.mayRead
	}
	if err := allowed("inventory", token); err != nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if v, ok := r.Header["X-Ms-Gateway-Serviceroot"]; gateway && (!ok || len(v) != 1 || v[0] != "") {
		http.Error(w, c.diary.refuse("inventory", "no empty x-ms-gateway-serviceRoot header (4)").Error(), http.StatusBadRequest)
		return
	}
	list := []map[string]any{}
	for _, a := range c.Agents() {
		status := "inactive"
		if a.Active {
			status = "active"
		}
		list = append(list, map[string]any{
			"id": a.ID, "machineName": a.Machine, "externalIp": a.Address, "status": status, "supportedPublishingTypes": []string{"authentication"},
		})
	}
	sendJSON(w, http.StatusOK, map[string]any{"value": list})
}
