import { getOption } from "@bufbuild/protobuf";
import { type ContextValues, createContextKey, type Interceptor } from "@connectrpc/connect";
import { ActorAdminService, admin_role, AdminRole as RoleEnum } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { RoleMissingError } from "../errors.js";
import { type Admin, type AdminAuthenticator, type AdminRole } from "./admin.js";
import { bearerToken } from "./credentials.js";

const adminKey = createContextKey<Admin | undefined>(undefined, { description: "the calling admin" });

/** The admin who made the call. Only for calls that `createAdminInterceptor` lets through. */
export function adminOf(values: ContextValues): Admin {
  const admin = values.get(adminKey);
  if (!admin) throw new Error("the service is not behind the admin interceptor");
  return admin;
}

/** The roles that RPCs can declare; what declares none of them cannot be called. */
const declared: Readonly<Partial<Record<RoleEnum, AdminRole>>> = {
  [RoleEnum.VIEWER]: "viewer",
  [RoleEnum.OPERATOR]: "operator",
  [RoleEnum.REVIEWER]: "reviewer",
};

/** Lets a call to the administration pass when its credential has the role that the RPC declares (`admin_role`). */
export function createAdminInterceptor(parts: { admins: AdminAuthenticator }): Interceptor {
  return (next) => async (req) => {
    if (req.service.typeName !== ActorAdminService.typeName) return next(req);
    const admin = await parts.admins.authenticate(bearerToken(req.header.get("authorization") ?? undefined));
    const needed = declared[getOption(req.method, admin_role)];
    if (needed === undefined || !admin.roles.includes(needed)) throw new RoleMissingError(needed ?? "nobody");
    req.contextValues.set(adminKey, admin);
    return next(req);
  };
}
