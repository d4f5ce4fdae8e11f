// A PKCS#11 module that hands everything to another one, and misbehaves on demand:
// while the file $FAULTY_DIR/hang exists nothing comes back, and while $FAULTY_DIR/pulled
// exists the token is not there; its sessions do not live through that.
//
// cc -shared -fPIC -I HEADERS -o faulty.so faulty.c -ldl   (HEADERS: those of miekg/pkcs11)

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pkcs11go.h"

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST mine;

static int on(const char *what) {
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", getenv("FAULTY_DIR"), what);
	return access(path, F_OK) == 0;
}

static CK_RV fault(void) {
	static CK_SLOT_ID slots[16];
	CK_ULONG n = 16;
	while (on("hang"))
		usleep(10000);
	if (!on("pulled"))
		return CKR_OK;
	if (real->C_GetSlotList(CK_TRUE, slots, &n) == CKR_OK)
		while (n > 0)
			real->C_CloseAllSessions(slots[--n]);
	return CKR_DEVICE_REMOVED;
}

static CK_RV sign(CK_SESSION_HANDLE s, CK_BYTE_PTR d, CK_ULONG n, CK_BYTE_PTR sig, CK_ULONG_PTR len) {
	CK_RV rv = fault();
	return rv != CKR_OK ? rv : real->C_Sign(s, d, n, sig, len);
}

static CK_RV find(CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR a, CK_ULONG n) {
	CK_RV rv = fault();
	return rv != CKR_OK ? rv : real->C_FindObjectsInit(s, a, n);
}

static CK_RV slots(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR n) {
	if (fault() != CKR_OK) {
		*n = 0;
		return CKR_OK;
	}
	return real->C_GetSlotList(present, list, n);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
	CK_C_GetFunctionList get;
	void *lib = dlopen(getenv("FAULTY_MODULE"), RTLD_NOW);
	if (lib == NULL || (get = (CK_C_GetFunctionList)dlsym(lib, "C_GetFunctionList")) == NULL || get(&real) != CKR_OK)
		return CKR_GENERAL_ERROR;
	mine = *real;
	mine.C_Sign = sign;
	mine.C_FindObjectsInit = find;
	mine.C_GetSlotList = slots;
	*list = &mine;
	return CKR_OK;
}
