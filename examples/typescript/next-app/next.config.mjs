export default { serverExternalPackages: ["@electric-sql/pglite"] };
